package node

import (
	"fmt"
	"strings"

	"lockstep/service"
)

// alarmPercent is how full a service's state may be before status says so.
const alarmPercent = 80

// ServiceMemory is how full the state of one service is.
type ServiceMemory struct {
	Service string `json:"service"`
	Used    uint64 `json:"used"`
	Limit   uint64 `json:"limit"`
}

// addServices fills in what the services hold, and what records have cost.
func (n *Node) addServices(s *Status) {
	n.counters.Each(func(name, _ string, value uint64) {
		if label, ok := strings.CutPrefix(name, `lockstep_service_memory_bytes{service="`); ok {
			of := strings.TrimSuffix(label, `"}`)
			limit := n.gauge(`lockstep_service_memory_limit_bytes{service="` + of + `"}`)
			s.Memory = append(s.Memory, ServiceMemory{of, value, limit})
		}
	})
	s.WorkMax = n.gauge("lockstep_record_work_max")
}

// Alarms are the things that somebody should look at, a sentence each.
func (s *Status) Alarms() (list []string) {
	if s.Halted != "" {
		list = append(list, s.Halted)
	}
	for _, m := range s.Memory {
		if m.Limit > 0 && m.Used >= m.Limit-m.Limit/100*(100-alarmPercent) {
			list = append(list, fmt.Sprintf("service %s holds %d of %d that it may: beyond that it refuses what needs more",
				m.Service, m.Used, m.Limit))
		}
	}
	if s.WorkMax > service.MaxWork/2 {
		list = append(list, fmt.Sprintf("a record took %d units of work: one that takes more than %d halts apply", s.WorkMax,
			service.MaxWork))
	}
	return list
}
