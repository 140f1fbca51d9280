"""Studies: many recordings with one command, resumable, with a report of each procedure. `run.run_study`.

A study goes like a build. Each step has a key, made of all that its result depends on; a result whose key has changed,
or that is missing, is made anew, and nothing else is.

| step | of | key | result |
|---|---|---|---|
| perceive | a recording | its bytes, the model and how it runs | `.perceived/KEY.jsonl.gz`, `.perceived/KEY.run.json` |
| conclude | a procedure | keys of its recordings, the rule, what the list says of it | a procedure's folder |
| sum up | the study | | `index.html`, `procedures.csv`, `findings.csv` |

`ledger` (SQLite) says how each recording and procedure stands. Steps are `tasks` that know nothing of the ledger: they
can run anywhere, in any order. Whatever runs them is an `executor`: `pool.LocalPool` (processes of this machine),
`cluster` (a Ray cluster), and `segments`, which has long recordings looked at in pieces by one of these.

A procedure's folder holds, when it is concluded:

- `events.jsonl`: one line for each frame of all its recordings in order, as `polypstream detect --candidates` writes
  them. `frame` counts over the procedure and `time_s` is time in the procedure. `recording` is the number of the
  recording from 0, in the order of `run.json`. Further entries of a recording's lines stay as they are.
- `run.json`: `procedure` (its name), `recordings` (for each: `name`, `path`, `start_s` and `duration_s` in the
  procedure, `frames`, `size_bytes`, `sha256` of its first and last MiB and size, `source`, `problems`, `runtime`,
  `timings`), `listed` (what the list says of it, such as `cecum_time`, as text), and `model`, `decided_by`, `settings`,
  `decision`, `candidates_from`, `counts`, `versions`, `source` (of its first recording) as in any record of a run.
- `report.json`, `report.html`, `findings/`: made of these two.
"""
