package node

import (
	"fmt"
	"strings"

	"lockstep/service"
)

// alarmPercent is how full a service's state may be before status says so.
const alarmPercent = 80

// ServiceStatus is one service, and how full its state is.
type ServiceStatus struct {
	Number uint16 `json:"number"`
	Name   string `json:"name"`
	Used   uint64 `json:"used,omitempty"`  // bytes, or what else the limit counts
	Limit  uint64 `json:"limit,omitempty"` // 0: the service does not say
}

// addServices fills in what the services hold, and what records have cost.
func (n *Node) addServices(s *Status) {
	memory := map[string]uint64{}
	n.counters.Each(func(name, _ string, value uint64) {
		if strings.HasPrefix(name, "lockstep_service_memory_") {
			memory[name] = value
		}
	})
	for number, name := range n.serviceNames {
		if name == "" {
			continue
		}
		label := `{service="` + name + `"}`
		s.Services = append(s.Services, ServiceStatus{Number: uint16(number), Name: name,
			Used: memory["lockstep_service_memory_bytes"+label], Limit: memory["lockstep_service_memory_limit_bytes"+label]})
	}
	s.WorkMax = n.gauge("lockstep_record_work_max")
	s.OutputsMax, s.OutputBytes = n.gauge("lockstep_record_outputs_max"), n.gauge("lockstep_record_output_bytes_max")
}

// Alarms are the things that somebody should look at, a sentence each.
func (s *Status) Alarms() (list []string) {
	if s.Halted != "" {
		list = append(list, s.Halted)
	}
	for _, m := range s.Services {
		if m.Limit > 0 && m.Used >= m.Limit-m.Limit/100*(100-alarmPercent) {
			list = append(list, fmt.Sprintf("service %s holds %d of %d that it may: beyond that it refuses what needs more",
				m.Name, m.Used, m.Limit))
		}
	}
	for _, x := range []struct {
		what       string
		got, limit uint64
	}{
		{"took %d units of work", s.WorkMax, service.MaxWork},
		{"caused %d responses and changes of timers", s.OutputsMax, service.MaxOutputs},
		{"caused %d bytes of responses", s.OutputBytes, service.MaxOutputBytes},
	} {
		if x.got > x.limit/2 {
			list = append(list, fmt.Sprintf("a record "+x.what+": one with more than %d halts apply", x.got, x.limit))
		}
	}
	return append(list, s.Process.alarms()...)
}
