"""Commands in sandboxes: started once, followed, cancelled."""
