"""Keys of `provider` and `node_config` by cloud. Ray hands both on without looking at them.

A nested table is checked further down, None is anything. Sources: for AWS the parameters of EC2's
RunInstances (a test holds this against botocore) and what Ray 2.60 adds; for GCP what may be given
of `instances` in the Compute API v1 (compared with its discovery document of November 2026), and
the TPU keys that Ray knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mimic_ray.cluster_files.findings import Place, Problem, nearest, unknown_key


def table(*names: str, **nested: Any) -> dict[str, Any]:
    return dict.fromkeys(names) | nested


_PROVIDER = table(
    *("type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips"),
    *("use_external_head_ip", "disable_node_updaters", "disable_launch_config_check"),
    *("foreground_node_launch", "worker_liveness_check", "worker_rpc_drain"),
)
PROVIDER: Mapping[str, Mapping[str, Any]] = {
    "aws": _PROVIDER
    | table("cloudwatch", "aws_credentials")
    | {
        "key_pair": table("key_name"),
        "security_group": {"GroupName": None, "IpPermissions": None},
    },
    "gcp": _PROVIDER | {"project_id": None, "gcp_credentials": table("type", "credentials")},
}
# Ray fails on the lack of one with a KeyError, after it has begun.
NEEDED = {"aws": ("region",), "gcp": ("region", "availability_zone", "project_id")}

# Ray's own, on top of EC2's: several subnets to choose from, and the network interface's groups.
RAY_ON_AWS = ("SubnetIds",)
RUN_INSTANCES = table(
    *("AdditionalInfo", "ClientToken", "DryRun", "EbsOptimized", "ElasticGpuSpecification"),
    *("ElasticInferenceAccelerators", "EnablePrimaryIpv6", "ImageId"),
    *("InstanceInitiatedShutdownBehavior", "InstanceType", "Ipv6AddressCount", "Ipv6Addresses"),
    *("KernelId", "KeyName", "LicenseSpecifications", "MaxCount", "MinCount", "NetworkInterfaces"),
    *("PrivateIpAddress", "RamdiskId", "SecondaryInterfaces", "SecurityGroupIds"),
    *("SecurityGroups", "SubnetId", "TagSpecifications", "UserData", "DisableApiStop"),
    *("DisableApiTermination",),
    BlockDeviceMappings=table(
        *("DeviceName", "VirtualName", "NoDevice"),
        Ebs=table(
            *("DeleteOnTermination", "Encrypted", "Iops", "KmsKeyId", "OutpostArn", "SnapshotId"),
            *("Throughput", "VolumeSize", "VolumeType", "VolumeInitializationRate"),
            *("AvailabilityZone", "AvailabilityZoneId", "EbsCardIndex"),
        ),
    ),
    CapacityReservationSpecification=table(
        "CapacityReservationPreference",
        CapacityReservationTarget=table(
            "CapacityReservationId", "CapacityReservationResourceGroupArn"
        ),
    ),
    CpuOptions=table("AmdSevSnp", "CoreCount", "NestedVirtualization", "ThreadsPerCore"),
    CreditSpecification=table("CpuCredits"),
    EnclaveOptions=table("Enabled"),
    HibernationOptions=table("Configured"),
    IamInstanceProfile=table("Arn", "Name"),
    InstanceMarketOptions=table(
        "MarketType",
        SpotOptions=table(
            *("BlockDurationMinutes", "InstanceInterruptionBehavior", "MaxPrice"),
            *("SpotInstanceType", "ValidUntil"),
        ),
    ),
    LaunchTemplate=table("LaunchTemplateId", "LaunchTemplateName", "Version"),
    MaintenanceOptions=table("AutoRecovery"),
    MetadataOptions=table(
        *("HttpEndpoint", "HttpProtocolIpv6", "HttpPutResponseHopLimit", "HttpTokens"),
        "InstanceMetadataTags",
    ),
    Monitoring=table("Enabled", "MetricCategoryIds"),
    NetworkPerformanceOptions=table("BandwidthWeighting"),
    Operator=table("Principal"),
    Placement=table(
        *("Affinity", "AvailabilityZone", "AvailabilityZoneId", "GroupId", "GroupName", "HostId"),
        *("HostResourceGroupArn", "PartitionNumber", "SpreadDomain", "Tenancy"),
    ),
    PrivateDnsNameOptions=table(
        "EnableResourceNameDnsAAAARecord", "EnableResourceNameDnsARecord", "HostnameType"
    ),
)

COMPUTE_INSTANCE = table(
    *("canIpForward", "confidentialInstanceConfig", "deletionProtection", "description"),
    *("displayDevice", "hostname", "keyRevocationActionType", "labels", "machineType"),
    *("minCpuPlatform", "name", "networkPerformanceConfig", "params"),
    *("privateIpv6GoogleAccess", "resourcePolicies", "sourceMachineImage", "instanceEncryptionKey"),
    *("advancedMachineFeatures", "localSsdEncryptionMode", "sourceMachineImageEncryptionKey"),
    "workloadIdentityConfig",
    disks=table(
        *("architecture", "autoDelete", "boot", "deviceName", "diskEncryptionKey", "diskSizeGb"),
        *("forceAttach", "guestOsFeatures", "index", "interface", "kind", "licenses", "mode"),
        *("source", "type"),
        initializeParams=table(
            *("architecture", "description", "diskName", "diskSizeGb", "diskType"),
            *("enableConfidentialCompute", "labels", "licenses"),
            *("onUpdateAction", "provisionedIops", "provisionedThroughput", "replicaZones"),
            *("resourceManagerTags", "resourcePolicies", "sourceImage", "sourceImageEncryptionKey"),
            *("sourceSnapshot", "sourceSnapshotEncryptionKey", "storagePool"),
        ),
    ),
    guestAccelerators=table("acceleratorCount", "acceleratorType"),
    metadata={"fingerprint": None, "kind": None, "items": table("key", "value")},
    networkInterfaces=table(
        *("accessConfigs", "aliasIpRanges", "internalIpv6PrefixLength", "ipv6AccessConfigs"),
        *("ipv6AccessType", "ipv6Address", "kind", "name", "network", "networkAttachment"),
        *("networkIP", "nicType", "queueCount", "stackType", "subnetwork", "aliasIpv6Ranges"),
        *("enableVpcScopedDns", "igmpQuery", "parentNicName", "serviceClassId", "vlan"),
    ),
    reservationAffinity=table("consumeReservationType", "key", "values"),
    scheduling=table(
        *("automaticRestart", "availabilityDomain", "hostErrorTimeoutSeconds"),
        *("instanceTerminationAction", "localSsdRecoveryTimeout", "locationHint", "maxRunDuration"),
        *("minNodeCpus", "nodeAffinities", "onHostMaintenance", "onInstanceStopAction"),
        *("preemptible", "provisioningModel", "skipGuestOsShutdown", "terminationTime"),
        *("exposeHostTopology", "gracefulShutdown", "preemptionNoticeDuration", "protectionTier"),
    ),
    serviceAccounts=table("email", "scopes"),
    shieldedInstanceConfig=table("enableIntegrityMonitoring", "enableSecureBoot", "enableVtpm"),
    tags=table("fingerprint", "items"),
)
_TPU = ("acceleratorType", "acceleratorConfig", "runtimeVersion", "networkConfig")

NODE_CONFIG: Mapping[str, Mapping[str, Any]] = {
    "aws": RUN_INSTANCES | table(*RAY_ON_AWS),
    "gcp": COMPUTE_INSTANCE | table(*_TPU, "schedulingConfig"),
}
_MACHINE = {"aws": ("InstanceType",), "gcp": ("machineType",)}


def cloud_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Unknown keys of `provider` and of each `node_config`, and a node without its machine."""
    provider = config.get("provider")
    if not isinstance(provider, Mapping):
        return
    cloud = str(provider.get("type"))
    if cloud not in PROVIDER:
        what = f"Keys of `provider` and `node_config` of {cloud} are not checked: aws and gcp are."
        yield Problem(("provider", "type"), what, "note")
        return
    yield from _unknown_keys(provider, PROVIDER[cloud], ("provider",))
    yield from _missing(provider, NEEDED[cloud], PROVIDER[cloud], ("provider",))
    types = config.get("available_node_types")
    for name, node_type in types.items() if isinstance(types, Mapping) else ():
        node = node_type.get("node_config") if isinstance(node_type, Mapping) else None
        place = ("available_node_types", str(name), "node_config")
        if isinstance(node, Mapping):
            yield from _unknown_keys(node, NODE_CONFIG[cloud], place)
            if not any(name in node for name in ("LaunchTemplate", *_TPU)):
                yield from _missing(node, _MACHINE[cloud], NODE_CONFIG[cloud], place)


def _missing(
    node: Mapping[str, Any], needed: Sequence[str], known: Mapping[str, Any], place: Place
) -> Iterator[Problem]:
    strangers = [name for name in node if name not in known]
    for name in needed:
        if node.get(name) is None and not nearest(name, strangers):
            yield Problem(place, f'"{name}" is missing.')


def _unknown_keys(node: Any, known: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _unknown_keys(item, known, (*place, index))
    elif isinstance(node, Mapping):
        for name, value in node.items():
            if name not in known:
                yield unknown_key(place, name, known)
            elif known[name] is not None:
                yield from _unknown_keys(value, known[name], (*place, str(name)))
