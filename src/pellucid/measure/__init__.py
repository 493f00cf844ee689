"""How will it do on new data: quantities with intervals and plain verdicts."""
