"""What the processes of one session share: folders in memory and what is in them, the file of events, quietness."""
