"""The pipeline's stages: each reads, makes one call into `sid`, and writes. Run as `python -m stages.<name>`."""

import os

# Threads of torch that wait for one another spin on a core each, for so long that a training takes ten times as long
# where other work wants the cores. Told before torch is loaded, they soon sleep: 5 to 10 % slower on idle cores.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
