"""Pictures in bulk: tar shards in, and tar shards or folders out, by any number of processes or machines."""
