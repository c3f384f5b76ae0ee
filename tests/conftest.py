"""Settings that must stand before scikit-learn and scipy are imported."""

import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")
