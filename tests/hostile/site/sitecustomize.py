"""Arms the harness's hook in Python processes that a case starts: this folder is on PYTHONPATH."""

import os
import sys

if "HOSTILE_LOG" in os.environ:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import audit_hook

    sys.path.pop(0)
    audit_hook.install()
    audit_hook.arm(os.environ[audit_hook.LOG], os.environ[audit_hook.WATCHED])
    sys.audit("hostile.start")
