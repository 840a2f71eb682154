package command

import (
	"fmt"
	"slices"

	"lockstep/internal/inspect"
	"lockstep/node"
	"lockstep/service"
)

// Own is a service of somebody's own, to run beside those that Lockstep ships with.
type Own struct {
	// Number is the service's: service.FirstOwn to service.MaxServices-1. It stands in the log: never change what it means.
	Number uint16
	// New makes the service, with nothing seen: at the start of a node or of a replay, and when a node starts over. Two that
	// it makes must behave alike, on every node: whatever limits the service has are part of the build.
	New func() service.Service
}

// own are those of this build.
var own []Own

// setOwn takes them in.
func setOwn(list []Own) error {
	var names [service.MaxServices]string
	for _, o := range list {
		if o.Number < service.FirstOwn || o.Number >= service.MaxServices || names[o.Number] != "" || o.New == nil {
			return fmt.Errorf("%w: own service %d: want a number from %d to %d of its own, and a function that makes the service",
				errUsage, o.Number, service.FirstOwn, service.MaxServices-1)
		}
		name := o.New().Name()
		if _, err := inspect.ParseService(name); err == nil || name == "" || slices.Contains(names[:], name) {
			return fmt.Errorf("%w: own service %d: its name is %q: want one of its own", errUsage, o.Number, name)
		}
		names[o.Number] = name
	}
	for _, o := range list {
		inspect.NameService(o.Number, names[o.Number])
	}
	own = list
	return nil
}

// addOwn adds them to those that a node makes.
func addOwn(services *[service.MaxServices]service.Service) {
	for _, o := range own {
		services[o.Number] = o.New()
	}
}

// machine is what this process's nodes run on.
func machine() node.Machine {
	m := node.Real()
	if len(own) > 0 {
		m.Services = addOwn
	}
	return m
}

// productionServices are those that a node of this build runs.
func productionServices() (list [service.MaxServices]service.Service, err error) {
	if list, err = node.NewServices(node.MachineLimits{}); err == nil {
		addOwn(&list)
	}
	return list, err
}
