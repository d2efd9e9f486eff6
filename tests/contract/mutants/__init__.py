"""Wrong proxies, each with one mistake that the contract has to find."""
