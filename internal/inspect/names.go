package inspect

import (
	"fmt"
	"strconv"
	"strings"

	"lockstep/service"
	"lockstep/wire"
)

// kinds are the record kinds that this build knows, by name.
var kinds = func() map[string]wire.RecordKind {
	m := map[string]wire.RecordKind{}
	for k := wire.RecordMessage; ; k++ {
		r := wire.Record{Kind: k}
		if !r.Known() {
			return m
		}
		m[k.String()] = k
	}
}()

// ParseKind finds a record kind by its name.
func ParseKind(name string) (wire.RecordKind, error) {
	if k, ok := kinds[name]; ok {
		return k, nil
	}
	var names []string
	for k := wire.RecordMessage; int(k) <= len(kinds); k++ {
		names = append(names, k.String())
	}
	return 0, fmt.Errorf("there are no records of kind %q: want one of %s", name, strings.Join(names, ", "))
}

// ServiceName names a service number.
func ServiceName(n int) string {
	switch uint16(n) {
	case service.None:
		return "none"
	case service.Echo:
		return "echo"
	case service.OrderBook:
		return "orderbook"
	}
	return strconv.Itoa(n)
}

// ParseService finds a service by its name or number.
func ParseService(text string) (uint16, error) {
	for n := range service.MaxServices {
		if ServiceName(n) == text {
			return uint16(n), nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("there is no service %q: want echo, orderbook, none, or a number", text)
	}
	return uint16(n), nil
}

// ParseSession reads a session id, hexadecimal.
func ParseSession(text string) (wire.SessionID, error) {
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%q is no session id: want hexadecimal digits, as dump prints them", text)
	}
	return wire.SessionID(id), nil
}
