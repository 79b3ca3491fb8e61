"""The gateway: the HTTP side, for people and for producers that know no CloudEvents. No agent: it routes paths itself."""
