"""Run the unmodified script on prepared tokens that a cheat cannot score well on."""
