#!/usr/bin/env python3
"""Makes rentals.csv: 5,000 rides of a bicycle rental that does not exist.

The data is invented, and looks as such data does: busy and quiet stations, rush hours, weekends,
members who ride short, a long tail. It is made from a fixed seed, so that each run writes the same
bytes:  python3 examples/data/make.py > examples/data/rentals.csv
"""

import csv
import datetime
import random
import sys

STATIONS = [("Harbour", 9), ("Old Town", 8), ("Central Station", 14), ("University", 11),
            ("Museum", 5), ("Botanical Garden", 4), ("Stadium", 3), ("North Bridge", 6),
            ("Market Hall", 7), ("Airport Road", 2), ("Lighthouse", 1), ("Mill Lane", 4)]
HOURS = [1, 1, 1, 1, 2, 4, 9, 16, 18, 10, 8, 9, 11, 10, 9, 10, 14, 19, 17, 11, 8, 6, 4, 2]


def pick(rng, weighted):
    """One of [(value, weight)], by random() alone: its sequence is the same in every Python."""
    at = rng.random() * sum(weight for _, weight in weighted)
    for value, weight in weighted:
        at -= weight
        if at < 0:
            return value
    return weighted[-1][0]


def rides(count):
    rng = random.Random(20260101)
    day = datetime.date(2025, 4, 1)
    for number in range(1, count + 1):
        date = day + datetime.timedelta(days=int(rng.random() * 183))
        weekend = date.weekday() >= 5
        hour = pick(rng, [(h, 8 if weekend and 9 < h < 20 else w) for h, w in enumerate(HOURS)])
        member = rng.random() < (0.45 if weekend else 0.7)
        minutes = 2 + int((rng.random() ** 2) * (35 if member else 80))
        if rng.random() < 0.01:
            minutes += 180 + int(rng.random() * 600)
        start = pick(rng, STATIONS)
        end = start if rng.random() < 0.12 else pick(rng, STATIONS)
        metres = int(minutes * (110 + rng.random() * 140)) if minutes < 180 else int(rng.random() * 40000)
        cents = max(0, minutes - 30) * 5 if member else 100 + minutes * 12
        yield [number, f"{date} {hour:02d}:{int(rng.random() * 60):02d}:{int(rng.random() * 60):02d}",
               start, end, "yes" if member else "no", minutes, metres, cents]


def main():
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["ride", "started_at", "from_station", "to_station", "member", "minutes", "metres",
                  "fare_cents"])
    out.writerows(rides(5000))


main()
