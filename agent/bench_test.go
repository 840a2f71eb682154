package agent

import "testing"

func BenchmarkWakeIfParkedNobodyParked(b *testing.B) {
	p, err := NewParker()
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for b.Loop() {
		p.WakeIfParked()
	}
}

func BenchmarkWake(b *testing.B) {
	p, err := NewParker()
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for b.Loop() {
		p.Announce()
		p.WakeIfParked()
	}
}

func BenchmarkIdleCycle(b *testing.B) {
	for _, kind := range []IdleKind{IdleSpin, IdleYield} {
		b.Run(kind.String(), func(b *testing.B) {
			idle, err := NewIdle(kind, nil, 0)
			if err != nil {
				b.Fatal(err)
			}
			var clock Clock = System{}
			c := NewComposite("all", &scripted{name: "a"}, &scripted{name: "b"})
			b.ReportAllocs()
			for b.Loop() {
				work, err := c.DoWork(clock.NowNs())
				if err != nil {
					b.Fatal(err)
				}
				idle.Idle(work)
			}
		})
	}
}
