"""IAM as AWS evaluates it: actions on resource ARNs, with conditions and policy variables."""
