#!/usr/bin/env python3
"""query.py ENDPOINT [CSV] - a real query through Spark Connect, with an answer that is checked.

What do the stations of a bicycle rental earn, and who rides from there? The engine reads
data/rentals.csv (5,000 invented rides, see data/make.py), groups and sorts it; the same numbers are
then worked out here from the file with nothing but Python's csv module. They are whole numbers, so
they must be equal, not close. Exit code 0 only if they are.
"""

import collections
import csv
import os
import sys
import time

SCHEMA = ("ride int, started_at timestamp, from_station string, to_station string, member string, "
          "minutes int, metres bigint, fare_cents bigint")
COLUMNS = ["station", "rides", "by members", "minutes", "longest", "round trips", "cents"]


def ask(endpoint, path):
    """The answer of the engine: a list of tuples in the order of COLUMNS, the dearest first."""
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    began = time.monotonic()
    spark = SparkSession.builder.remote(endpoint).getOrCreate()
    print(f"connected to {endpoint}: Spark {spark.version}, {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    rides = spark.read.schema(SCHEMA).option("header", "true").csv(path)
    frame = (
        rides.where(F.col("minutes") < 180)  # a bicycle that is out longer was lost
        .groupBy("from_station")
        .agg(
            F.count("*"),
            F.sum(F.when(F.col("member") == "yes", 1).otherwise(0)),
            F.sum("minutes"),
            F.max("minutes"),
            F.sum(F.when(F.col("from_station") == F.col("to_station"), 1).otherwise(0)),
            F.sum("fare_cents").alias("cents"),
        )
        .orderBy(F.desc("cents"), "from_station")
    )
    answer = [tuple(row) for row in frame.collect()]
    print(f"asked and answered in {time.monotonic() - began:.1f} s")
    spark.stop()
    return answer


def work_out(path):
    """The same without Spark."""
    stations = collections.defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    with open(path, newline="", encoding="utf-8") as file:
        for ride in csv.DictReader(file):
            minutes = int(ride["minutes"])
            if minutes < 180:
                line = stations[ride["from_station"]]
                line[0] += 1
                line[1] += ride["member"] == "yes"
                line[2] += minutes
                line[3] = max(line[3], minutes)
                line[4] += ride["from_station"] == ride["to_station"]
                line[5] += int(ride["fare_cents"])
    rows = [(station, *line) for station, line in stations.items()]
    return sorted(rows, key=lambda row: (-row[-1], row[0]))


def show(rows):
    table = [COLUMNS] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(COLUMNS))]
    for row in table:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells))


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.abspath(sys.argv[2]) if len(sys.argv) == 3 else os.path.join(here, "data/rentals.csv")
    answer = ask(sys.argv[1], path)
    show(answer)
    expected = work_out(path)
    if answer != expected:
        print("the answer is WRONG; worked out without Spark it is:")
        show(expected)
        sys.exit(1)
    print(f"the answer is right: {len(answer)} stations, checked against plain Python")


main()
