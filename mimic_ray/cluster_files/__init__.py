"""Cluster files for AWS, GCP, Kubernetes and Slurm: rendered from templates and checked.

machines              the machines of each provider by GPU
cluster_spec          the settings of a user, checked and resolved to machines
render, templates/    settings -> the text of a file
slurm_script          a batch script for Slurm from its own settings
yaml_reader           text -> documents with the lines of their keys
validate              a file -> findings, by the checks below
schema_checks         JSON schemas and their errors
ray_definitions       Ray's schema, rules and options; the only module that imports Ray
ray_up_checks         `ray up` files
cloud_checks          their parts for AWS and GCP, by the SDKs of these clouds
ray_start_checks      options of `ray start`
kubernetes_schemas    the schemas of KubeRay (packaged) and of Kubernetes (kubernetes-validate)
kubernetes_checks     Kubernetes files
kuberay_rules         rules of KubeRay's operator that its schema does not have
security_advice       warnings about exposed ports, tokens and images
"""
