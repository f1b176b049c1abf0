"""The pipeline's stages: each reads, makes one call into `sid`, and writes. Run as `python -m stages.<name>`."""

import os

# Threads of torch that wait for one another spin on a core each, and where other work wants the cores a training takes
# ten times as long. Told before torch is loaded, they sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
