"""Room: rendezvous."""
