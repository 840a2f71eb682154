// Command reservations is Lockstep with one service more: the seats of a theatre.
package main

import (
	"lockstep/command"

	"reservations/seats"
)

func main() {
	command.Main(command.Own{Number: seats.Number, New: seats.New})
}
