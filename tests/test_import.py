"""What importing the package brings along."""

import subprocess
import sys


# --- imports --------------------------------------------------------------------------------------
def test_importing_the_package_does_not_import_torch():
    program = (
        "import sys, sklearn_fsad; assert 'torch' not in sys.modules;"
        "dir(sklearn_fsad); sklearn_fsad.TaskSet; sklearn_fsad.FewShotSplit;"
        "assert 'torch' not in sys.modules; sklearn_fsad.ProtoNetDetector;"
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
