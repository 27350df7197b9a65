"""Every field that a Spot Fleet's JSON or a launch template can have, and what becomes of it.

EC2 API Reference: SpotFleetRequestConfigData, LaunchTemplateOverrides, ResponseLaunchTemplateData.
A test compares the tables with botocore's model of these.
"""

from __future__ import annotations

from .fleet_json import Field, Kind, Many, Table, ours, passed, refused

TEXT, WHOLE, NUMBER, TRUTH, TIME = Kind.TEXT, Kind.WHOLE, Kind.NUMBER, Kind.TRUTH, Kind.TIME
# In EC2's answers alone, or the value it has anyway.
_TOLD = ""

_NO_HOSTS = "dedicated hosts are not for machines that come and go"
_NOTHING_REPLACED = "nothing is replaced in an annex, so this is left out"
_GOES_WITH_MACHINE = "true everywhere, so that nothing is left behind when a machine ends"


def _all(kind: Kind, *names: str) -> Table:
    return {name: passed(kind) for name in names}


def _range(kind: Kind) -> Field:
    return passed(_all(kind, "Min", "Max"))


REQUIREMENTS: Table = {
    "VCpuCount": _range(WHOLE),
    "MemoryMiB": _range(WHOLE),
    "CpuManufacturers": passed(Many(TEXT)),
    "MemoryGiBPerVCpu": _range(NUMBER),
    "ExcludedInstanceTypes": passed(Many(TEXT)),
    "InstanceGenerations": passed(Many(TEXT)),
    "SpotMaxPricePercentageOverLowestPrice": passed(WHOLE),
    "OnDemandMaxPricePercentageOverLowestPrice": passed(WHOLE),
    "BareMetal": passed(TEXT),
    "BurstablePerformance": passed(TEXT),
    "RequireHibernateSupport": passed(TRUTH),
    "NetworkInterfaceCount": _range(WHOLE),
    "LocalStorage": passed(TEXT),
    "LocalStorageTypes": passed(Many(TEXT)),
    "TotalLocalStorageGB": _range(NUMBER),
    "BaselineEbsBandwidthMbps": _range(WHOLE),
    "AcceleratorTypes": passed(Many(TEXT)),
    "AcceleratorCount": _range(WHOLE),
    "AcceleratorManufacturers": passed(Many(TEXT)),
    "AcceleratorNames": passed(Many(TEXT)),
    "AcceleratorTotalMemoryMiB": _range(WHOLE),
    "NetworkBandwidthGbps": _range(NUMBER),
    "AllowedInstanceTypes": passed(Many(TEXT)),
    "MaxSpotPriceAsPercentageOfOptimalOnDemandPrice": passed(WHOLE),
    "BaselinePerformanceFactors": passed(
        {"Cpu": passed({"References": passed(Many(_all(TEXT, "InstanceFamily")))})}
    ),
    "RequireEncryptionInTransit": passed(TRUTH),
}

TAGS = Many({"ResourceType": passed(TEXT), "Tags": passed(Many(_all(TEXT, "Key", "Value")))})

# The fleet's and the deployment's alone; `spot_fleet_template` says so where another is named.
_PROFILE = ours({"Arn": ours(TEXT, _TOLD), "Name": ours(TEXT, _TOLD)}, _TOLD)

_EBS: Table = {
    "DeleteOnTermination": ours(TRUTH, _GOES_WITH_MACHINE, same=(True,)),
    "Encrypted": ours(
        TRUTH, "true everywhere but on a volume that comes from a snapshot of yours", same=(True,)
    ),
    **_all(WHOLE, "Iops", "VolumeSize", "Throughput", "VolumeInitializationRate", "EbsCardIndex"),
    **_all(TEXT, "SnapshotId", "VolumeType", "KmsKeyId"),
}
_NOT_ON_LAUNCH = "EC2 does not take this when machines are started"

_DEVICES: Table = {
    "DeviceName": passed(TEXT),
    "VirtualName": passed(TEXT),
    "NoDevice": passed(Kind.MARK),  # the empty text is what leaves a device out
    "Ebs": passed(_EBS),
}
_SPECIFIED_DEVICES: Table = {
    **_DEVICES,
    "Ebs": passed(
        {
            **_EBS,
            **{
                name: refused(TEXT, _NOT_ON_LAUNCH)
                for name in ("OutpostArn", "AvailabilityZone", "AvailabilityZoneId")
            },
        }
    ),
}

_INTERFACES: Table = {
    "DeleteOnTermination": ours(TRUTH, _GOES_WITH_MACHINE, same=(True,)),
    "NetworkInterfaceId": refused(TEXT, "a fleet cannot start machines on an interface there is"),
    **_all(TRUTH, "AssociatePublicIpAddress", "AssociateCarrierIpAddress", "PrimaryIpv6"),
    **_all(TEXT, "Description", "PrivateIpAddress", "SubnetId", "InterfaceType"),
    **_all(WHOLE, "DeviceIndex", "Ipv6AddressCount", "SecondaryPrivateIpAddressCount"),
    **_all(WHOLE, "NetworkCardIndex", "Ipv4PrefixCount", "Ipv6PrefixCount", "EnaQueueCount"),
    "Groups": passed(Many(TEXT)),
    "Ipv6Addresses": passed(
        Many(
            {
                "Ipv6Address": passed(TEXT),
                "IsPrimaryIpv6": refused(TRUTH, "say PrimaryIpv6 of the interface", same=(False,)),
            }
        )
    ),
    "PrivateIpAddresses": passed(
        Many({"Primary": passed(TRUTH), "PrivateIpAddress": passed(TEXT)})
    ),
    "Ipv4Prefixes": passed(Many(_all(TEXT, "Ipv4Prefix"))),
    "Ipv6Prefixes": passed(Many(_all(TEXT, "Ipv6Prefix"))),
    "EnaSrdSpecification": passed(
        {
            "EnaSrdEnabled": passed(TRUTH),
            "EnaSrdUdpSpecification": passed({"EnaSrdUdpEnabled": passed(TRUTH)}),
        }
    ),
    "ConnectionTrackingSpecification": passed(
        _all(WHOLE, "TcpEstablishedTimeout", "UdpStreamTimeout", "UdpTimeout")
    ),
}

SPECIFICATION: Table = {
    "AddressingType": refused(
        TEXT, "deprecated by AWS: say AssociatePublicIpAddress of a network interface"
    ),
    "BlockDeviceMappings": passed(Many(_SPECIFIED_DEVICES)),
    "EbsOptimized": passed(TRUTH),
    "IamInstanceProfile": _PROFILE,
    **_all(TEXT, "ImageId", "InstanceType", "KernelId", "KeyName", "RamdiskId"),
    **_all(TEXT, "SpotPrice", "SubnetId", "UserData"),
    "Monitoring": passed(_all(TRUTH, "Enabled")),
    "NetworkInterfaces": passed(Many(_INTERFACES)),
    "Placement": passed(
        _all(TEXT, "AvailabilityZone", "AvailabilityZoneId", "GroupName", "Tenancy")
    ),
    "WeightedCapacity": passed(NUMBER),
    "TagSpecifications": passed(TAGS),
    "InstanceRequirements": passed(REQUIREMENTS),
    "SecurityGroups": passed(Many(_all(TEXT, "GroupId", "GroupName"))),
}

OVERRIDE: Table = {
    **_all(TEXT, "InstanceType", "SpotPrice", "SubnetId", "AvailabilityZone", "AvailabilityZoneId"),
    **_all(NUMBER, "WeightedCapacity", "Priority"),
    "InstanceRequirements": passed(REQUIREMENTS),
    # Not in the API, but in AWS's own example of capacity rebalancing.
    "Placement": passed(_all(TEXT, "AvailabilityZone")),
}

REQUEST: Table = {
    **_all(TEXT, "AllocationStrategy", "OnDemandAllocationStrategy", "SpotPrice", "Context"),
    **_all(TEXT, "OnDemandMaxTotalPrice", "SpotMaxTotalPrice"),
    **_all(WHOLE, "OnDemandTargetCapacity", "InstancePoolsToUseCount"),
    "SpotMaintenanceStrategies": ours(
        {
            "CapacityRebalance": ours(
                {"ReplacementStrategy": ours(TEXT, _TOLD), "TerminationDelay": ours(WHOLE, _TOLD)},
                _TOLD,
            )
        },
        _NOTHING_REPLACED,
    ),
    "ClientToken": ours(TEXT, "ours, so that no machine is started twice"),
    "ExcessCapacityTerminationPolicy": ours(TEXT, _NOTHING_REPLACED),
    "FulfilledCapacity": ours(NUMBER, "EC2's own count, left out", same=(0.0,)),
    "OnDemandFulfilledCapacity": ours(NUMBER, "EC2's own count, left out", same=(0.0,)),
    "IamFleetRole": ours(TEXT, _TOLD),
    "LaunchSpecifications": passed(Many(SPECIFICATION)),
    "LaunchTemplateConfigs": passed(
        Many(
            {
                "LaunchTemplateSpecification": passed(
                    _all(TEXT, "LaunchTemplateId", "LaunchTemplateName", "Version")
                ),
                "Overrides": passed(Many(OVERRIDE)),
            }
        )
    ),
    "TargetCapacity": ours(WHOLE, _TOLD),
    "TerminateInstancesWithExpiration": ours(
        TRUTH, "false, since machines end by the annex's lease", same=(False,)
    ),
    "Type": ours(TEXT, "'request', since nothing is replaced in an annex", same=("request",)),
    "ValidFrom": ours(TIME, _TOLD),
    "ValidUntil": ours(
        TIME, "15 minutes from the request, then what EC2 has not given is given up"
    ),
    "ReplaceUnhealthyInstances": ours(
        TRUTH, "false, since nothing is replaced in an annex", same=(False,)
    ),
    "InstanceInterruptionBehavior": refused(
        TEXT,
        "a machine that EC2 takes back must end ('terminate'), or it stays and costs",
        same=("terminate",),
    ),
    "LoadBalancersConfig": refused(
        {
            "ClassicLoadBalancersConfig": passed(
                {"ClassicLoadBalancers": passed(Many(_all(TEXT, "Name")))}
            ),
            "TargetGroupsConfig": passed({"TargetGroups": passed(Many(_all(TEXT, "Arn")))}),
        },
        "nothing connects to the machines of an annex",
    ),
    "TargetCapacityUnitType": refused(
        TEXT, "a slot is one unit of WeightedCapacity; leave it out or say 'units'", same=("units",)
    ),
    "TagSpecifications": passed(TAGS),
}

TEMPLATE: Table = {
    **_all(TEXT, "KernelId", "ImageId", "InstanceType", "KeyName", "RamDiskId", "UserData"),
    "EbsOptimized": passed(TRUTH),
    "IamInstanceProfile": _PROFILE,
    "BlockDeviceMappings": passed(Many(_DEVICES)),
    "NetworkInterfaces": passed(Many(_INTERFACES)),
    "Monitoring": passed({"Enabled": passed(TRUTH), "MetricCategoryIds": passed(Many(TEXT))}),
    "Placement": passed(
        {
            **_all(TEXT, "AvailabilityZone", "AvailabilityZoneId", "GroupName", "GroupId"),
            **_all(TEXT, "Tenancy", "SpreadDomain"),
            "PartitionNumber": passed(WHOLE),
            "Affinity": refused(TEXT, _NO_HOSTS, same=("default",)),
            "HostId": refused(TEXT, _NO_HOSTS),
            "HostResourceGroupArn": refused(TEXT, _NO_HOSTS),
        }
    ),
    "DisableApiTermination": ours(
        TRUTH, "false, since the annex must be able to end", same=(False,)
    ),
    "DisableApiStop": ours(TRUTH, "false, since the annex must be able to end", same=(False,)),
    "InstanceInitiatedShutdownBehavior": ours(
        TEXT, "'terminate', since machines end by switching themselves off", same=("terminate",)
    ),
    "TagSpecifications": passed(TAGS),
    "ElasticGpuSpecifications": refused(Many(_all(TEXT, "Type")), "AWS no longer has these"),
    "ElasticInferenceAccelerators": refused(
        Many({"Type": passed(TEXT), "Count": passed(WHOLE)}), "AWS no longer has these"
    ),
    "SecurityGroupIds": passed(Many(TEXT)),
    "SecurityGroups": passed(Many(TEXT)),
    "InstanceMarketOptions": refused(
        {
            "MarketType": passed(TEXT),
            "SpotOptions": passed(
                {
                    **_all(TEXT, "MaxPrice", "SpotInstanceType", "InstanceInterruptionBehavior"),
                    "BlockDurationMinutes": passed(WHOLE),
                    "ValidUntil": passed(TIME),
                }
            ),
        },
        "a template for fleets leaves the market to the fleet",
    ),
    "CreditSpecification": passed(_all(TEXT, "CpuCredits")),
    "CpuOptions": passed(
        {
            **_all(WHOLE, "CoreCount", "ThreadsPerCore"),
            **_all(TEXT, "AmdSevSnp", "NestedVirtualization"),
        }
    ),
    "CapacityReservationSpecification": passed(
        {
            "CapacityReservationPreference": passed(TEXT),
            "CapacityReservationTarget": passed(
                _all(TEXT, "CapacityReservationId", "CapacityReservationResourceGroupArn")
            ),
        }
    ),
    "LicenseSpecifications": passed(Many(_all(TEXT, "LicenseConfigurationArn"))),
    "HibernationOptions": passed(
        {"Configured": refused(TRUTH, "a machine of an annex is never put to sleep", same=(False,))}
    ),
    "MetadataOptions": passed(
        {
            "State": ours(TEXT, _TOLD),
            "HttpTokens": ours(TEXT, "'required' (IMDSv2 alone)", same=("required",)),
            "HttpPutResponseHopLimit": ours(
                WHOLE, "1, so that no container asks for the machine's keys", same=(1,)
            ),
            "HttpEndpoint": ours(
                TEXT, "'enabled', since the machine learns of its lease by it", same=("enabled",)
            ),
            "InstanceMetadataTags": ours(
                TEXT, "'enabled', since the machine learns of its lease by them", same=("enabled",)
            ),
            "HttpProtocolIpv6": passed(TEXT),
        }
    ),
    "EnclaveOptions": passed(_all(TRUTH, "Enabled")),
    "InstanceRequirements": passed(REQUIREMENTS),
    "PrivateDnsNameOptions": passed(
        {
            "HostnameType": passed(TEXT),
            **_all(TRUTH, "EnableResourceNameDnsARecord", "EnableResourceNameDnsAAAARecord"),
        }
    ),
    "MaintenanceOptions": passed(_all(TEXT, "AutoRecovery")),
    "Operator": passed(
        {
            "Managed": refused(TRUTH, "this template belongs to an AWS service", same=(False,)),
            "Principal": refused(TEXT, "this template belongs to an AWS service"),
            "HiddenByDefault": ours(TRUTH, _TOLD),
        }
    ),
    "NetworkPerformanceOptions": passed(_all(TEXT, "BandwidthWeighting")),
    "SecondaryInterfaces": passed(
        Many(
            {
                "DeleteOnTermination": ours(TRUTH, _GOES_WITH_MACHINE, same=(True,)),
                **_all(WHOLE, "DeviceIndex", "PrivateIpAddressCount", "NetworkCardIndex"),
                **_all(TEXT, "SecondarySubnetId", "InterfaceType"),
                "PrivateIpAddresses": passed(Many(_all(TEXT, "PrivateIpAddress"))),
            }
        )
    ),
}
