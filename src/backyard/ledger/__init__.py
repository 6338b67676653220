"""The live truth, in Redis: records, queues, leases, what is due."""
