"""Jobs on a Ray cluster: where its job server is, what is sent there, how a job is watched.

Nothing here imports torch, and ray only when the first request is made: whoever asks for the
status of a job should not wait for either.
"""
