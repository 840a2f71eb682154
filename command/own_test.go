package command

import (
	"errors"
	"io"
	"testing"

	"lockstep/internal/inspect"
	"lockstep/service"
	"lockstep/wire"
)

// mine is a service of somebody's own.
type mine struct{ name string }

func (s *mine) Name() string                                     { return s.name }
func (s *mine) Apply(*service.Context, *wire.Record, []byte)     {}
func (s *mine) OnSession(*service.Context, wire.SessionID, bool) {}
func (s *mine) Snapshot(io.Writer) error                         { return nil }
func (s *mine) Restore(io.Reader) error                          { return nil }
func (s *mine) Hash() uint64                                     { return 0 }
func named(number uint16, name string) Own {
	return Own{Number: number, New: func() service.Service { return &mine{name} }}
}

func TestOwnServices(t *testing.T) {
	for what, list := range map[string][]Own{
		"a number of Lockstep's":  {named(service.FirstOwn-1, "mine")},
		"a number that is none":   {named(service.MaxServices, "mine")},
		"one number twice":        {named(service.FirstOwn, "mine"), named(service.FirstOwn, "yours")},
		"no service":              {{Number: service.FirstOwn}},
		"no name":                 {named(service.FirstOwn, "")},
		"a name of Lockstep's":    {named(service.FirstOwn, "kv")},
		"a name that is a number": {named(service.FirstOwn, "9")},
		"one name twice":          {named(service.FirstOwn, "other"), named(service.FirstOwn+1, "other")},
	} {
		if err := setOwn(list); !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", what, err)
		}
	}
	defer func() {
		own = nil
		inspect.NameService(service.FirstOwn, "")
		inspect.NameService(service.FirstOwn+1, "")
	}()
	if err := setOwn([]Own{named(service.FirstOwn+1, "mine")}); err != nil {
		t.Fatal(err)
	}
	list, err := productionServices()
	if err != nil || list[service.FirstOwn+1] == nil || list[service.FirstOwn+1].Name() != "mine" {
		t.Errorf("services %v, %v", list, err)
	}
	if n, err := parseService("mine"); err != nil || n != service.FirstOwn+1 {
		t.Errorf("mine is %d, %v", n, err)
	}
	if machine().Services == nil {
		t.Error("a node would not run it")
	}
}
