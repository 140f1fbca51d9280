"""Studies on a Ray cluster: the work of `stream.study.worker` as Ray tasks. Ray hands them out and tries again.

`choice` says what works on a study. `connection` finds the cluster, `nodes` compares its machines with this one,
`executor` hands recordings and pieces of them to Ray, `remote` is what runs there, `shipping` brings recordings to
machines that cannot see them. Only this folder imports Ray, when it is used.
"""
