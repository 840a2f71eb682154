package inspect

import (
	"cmp"
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

// own are the names of services that this build does not ship with.
var own [service.MaxServices]string

// NameService gives a number of a user's own service its name. To be called before any other function.
func NameService(number uint16, name string) { own[number] = name }

// ServiceName names a service number.
func ServiceName(n int) string {
	if n < 0 || n >= service.MaxServices {
		return strconv.Itoa(n)
	}
	return cmp.Or(service.NameOf(uint16(n)), own[n], strconv.Itoa(n))
}

// ServiceNames are all names, with commas between, for help and errors.
func ServiceNames() string {
	var list []string
	for n := range service.MaxServices {
		if name := ServiceName(n); n > 0 && name != strconv.Itoa(n) {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
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
		return 0, fmt.Errorf("there is no service %q: want %s, none, or a number", text, ServiceNames())
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
