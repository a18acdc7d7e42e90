"""Cluster files: written from one template, checked without a cloud. Never imports torch; ray only
where Ray's own checks are asked for (`ray_checks`).

    machines   which machine of a cloud has which GPU
    wanted     what a user asks for, resolved to nodes
    ray_up     -> the document of `ray up` (AWS, GCP)
    kuberay    -> RayCluster or RayJob, and the NetworkPolicy beside it
    writing    documents -> YAML text with its comments
    reading    YAML text -> documents that know their lines
    findings   what `validate` says
    strict     JSON schemas made strict, and their errors as findings
    ray_up_checks, cloud_keys, ray_start, kuberay_checks, kuberay_rules, policy    the checks
"""
