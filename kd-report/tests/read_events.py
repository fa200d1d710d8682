"""Prints what TensorBoard reads from a run: pip install tensorboard; python3 read_events.py RUN"""

import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(str(pathlib.Path(sys.argv[1]) / "tensorboard"))
events.Reload()
for tag in sorted(events.Tags()["scalars"]):
    values = events.Scalars(tag)
    print(f"{tag}: {len(values)} values, last {values[-1].value:.6g} at step {values[-1].step}")
