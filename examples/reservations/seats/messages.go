package seats

import (
	"strconv"
	"strings"
)

// request is a message, read: "hold 17 30", "confirm 17", "release 17" or "list".
type request struct {
	verb    string
	seat    int
	seconds uint64 // hold: for how long
}

// parse reads a message. Whatever a client sends, it must not panic: that would halt every node.
func parse(payload []byte) (q request, ok bool) {
	words := strings.Fields(string(payload))
	if len(words) == 1 && words[0] == "list" {
		return request{verb: "list"}, true
	}
	if len(words) < 2 {
		return q, false
	}
	q.verb = words[0]
	seat, err := strconv.ParseUint(words[1], 10, 16)
	if err != nil || seat < 1 || seat > Seats {
		return q, false
	}
	q.seat = int(seat)
	switch q.verb {
	case "confirm", "release":
		return q, len(words) == 2
	case "hold":
		if len(words) == 3 {
			q.seconds, err = strconv.ParseUint(words[2], 10, 32)
		}
		return q, len(words) == 3 && err == nil && q.seconds >= 1 && q.seconds <= MaxHold
	}
	return q, false
}
