package service_test

import (
	"testing"

	"lockstep/internal/counters"
	"lockstep/service"
)

// sizedJar counts its marbles.
type sizedJar struct{ jar }

func (j *sizedJar) Memory() (used, limit uint64) { return uint64(j.marbles), jarHolds }

func TestMemoryOfServicesIsTold(t *testing.T) {
	file, err := counters.Create("", 128)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := newRig(t, rigOptions{counters: file, more: func(list *[service.MaxServices]service.Service) {
		list[redID], list[blueID] = &sizedJar{jar{name: "red"}}, &jar{name: "blue"}
	}})
	r.open(1)
	r.message(1, 1, redID, []byte{12, plainly})
	r.message(1, 2, blueID, []byte{13, plainly})
	r.do()
	told := map[string]uint64{}
	file.Each(func(name, _ string, value uint64) { told[name] = value })
	if told[`lockstep_service_memory_bytes{service="red"}`] != 12 ||
		told[`lockstep_service_memory_limit_bytes{service="red"}`] != jarHolds {
		t.Errorf("told: %v", told)
	}
	if _, ok := told[`lockstep_service_memory_bytes{service="blue"}`]; ok {
		t.Error("a service that does not count is told of")
	}
}
