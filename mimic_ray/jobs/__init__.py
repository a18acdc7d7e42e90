"""Jobs on a Ray cluster: find the job server, send a command, follow the job.

Nothing here imports torch, and ray is imported with the first request, so that `mimic-ray status`
answers quickly.
"""
