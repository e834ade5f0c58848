"""The attested process that every driver, worker and executor is started by; it holds their keys."""
