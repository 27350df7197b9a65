"""What things are called by: strings that must not be mistaken for one another."""

from __future__ import annotations

from typing import NewType

AnnexId = NewType("AnnexId", str)
AnnexName = NewType("AnnexName", str)
CallerId = NewType("CallerId", str)  # the unique id of a signed AWS identity
InstanceId = NewType("InstanceId", str)
RequestId = NewType("RequestId", str)
