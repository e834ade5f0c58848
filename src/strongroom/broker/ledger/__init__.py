"""The record of decisions: hash-chained lines, on the disk before a secret leaves."""
