package main

import "lockstep/command"

func main() { command.Main() }
