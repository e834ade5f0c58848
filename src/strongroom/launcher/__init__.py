"""The measured launcher of JVMs whose command line changes from run to run: what comes from outside is checked input.

It stands where Spark and Flink expect `java`. Standard library only, and little of it: it starts before every JVM.
"""
