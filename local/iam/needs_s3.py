"""The permissions that S3 calls need.

Source: Amazon S3 User Guide, "Required permissions for Amazon S3 API operations".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from local.iam.policy import Need

if TYPE_CHECKING:
    from local.call import Call

# Operations whose permission has another name, or is the object's or bucket's basic one.
_ACTIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListBuckets": "ListAllMyBuckets",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
}


def needs(call: Call) -> list[Need]:
    """Every permission that the call needs."""
    bucket, key = call.params.get("Bucket"), call.params.get("Key")
    if not bucket:
        return [Need(f"s3:{_ACTIONS.get(call.action, call.action)}", "*")]
    bucket_arn = f"arn:aws:s3:::{bucket}"
    if call.action == "DeleteObjects":
        keys = re.findall(r"<Key>([^<]*)</Key>", call.body.decode(errors="replace"))
        return [Need("s3:DeleteObject", f"{bucket_arn}/{each}") for each in keys]
    action = f"s3:{_ACTIONS.get(call.action, call.action)}"
    if key is None:
        context = {"s3:prefix": call.query.get("prefix", "")} if action == "s3:ListBucket" else {}
        return [Need(action, bucket_arn, context)]
    found = [Need(action, f"{bucket_arn}/{key}")]
    source = next((v for k, v in call.headers.items() if k.lower() == "x-amz-copy-source"), None)
    if source:
        path = unquote(source).lstrip("/").partition("?")[0]
        found.append(Need("s3:GetObject", f"arn:aws:s3:::{path}"))
    if any(name.lower() == "x-amz-tagging" for name in call.headers):
        found.append(Need("s3:PutObjectTagging", f"{bucket_arn}/{key}"))
    return found


def listing(call: Call) -> Need | None:
    """The permission without which a missing object answers 403 instead of 404, or None.

    Source: GetObject and HeadObject in the S3 API reference, "Permissions".
    """
    if call.action not in {"GetObject", "HeadObject"}:
        return None
    return Need("s3:ListBucket", f"arn:aws:s3:::{call.params['Bucket']}")
