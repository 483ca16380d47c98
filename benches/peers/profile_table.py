#!/usr/bin/env python3
"""What Nsight Compute says of each kernel, a row for each: `ncu --csv` with the sections SpeedOfLight,
ComputeWorkloadAnalysis, Occupancy and LaunchStats, with --print-units base, as a column has one unit.

    python3 benches/peers/profile_table.py PROFILE.csv
"""
import csv
import sys

METRICS = ["Duration", "DRAM Throughput", "L2 Cache Throughput", "Issue Slots Busy", "Achieved Occupancy",
           "Registers Per Thread", "SM Frequency"]


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} PROFILE.csv")
    with open(sys.argv[1], newline="") as file:
        # The profiled program's own output and ncu's remarks come before and between.
        rows = list(csv.reader(line for line in file if line.startswith('"')))
    if not rows:
        sys.exit(f"{sys.argv[1]} has no rows of --csv")
    head, table, units = rows[0], {}, {}
    for row in rows[1:]:
        row = dict(zip(head, row))
        if row["Metric Name"] in METRICS:
            table.setdefault((int(row["ID"]), row["Kernel Name"].split("(")[0]), {})[row["Metric Name"]] = row["Metric Value"]
            units[row["Metric Name"]] = row["Metric Unit"]
    print("| kernel |", " | ".join(f"{m}, {units[m]}" if units.get(m) else m for m in METRICS), "|")
    print("| --- |" + " ---: |" * len(METRICS))
    for (_, kernel), values in sorted(table.items()):
        print(f"| {kernel} |", " | ".join(values.get(m, "–") for m in METRICS), "|")


if __name__ == "__main__":
    main()
