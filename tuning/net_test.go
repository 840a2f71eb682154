package tuning

import "testing"

var netCases = []itemCase{
	{item: "interface", want: OK, target: hot, host: withLink(Link{Up: true, MTU: 1500, Driver: "ice"})},
	{item: "interface", want: Differs, target: hot, host: withLink(Link{Up: true, MTU: 1500, Driver: "e1000e"})},
	{item: "interface", want: Differs, target: hot, host: withLink(Link{Up: true, MTU: 1400, Driver: "ice"})},
	{item: "interface", want: Differs, target: hot, host: withLink(Link{MTU: 1500, Driver: "ice"})},
	{item: "interface", want: Differs, target: hot},
	{item: "interface", want: OK, target: hot,
		files: map[string]string{"sys/class/net/eth9/mtu": "9000", "sys/class/net/eth9/operstate": "up"},
		links: map[string]string{"sys/class/net/eth9/device/driver": "../../bus/pci/drivers/ice"}},
	{item: "interface", want: Unsupported},
}

func withLink(link Link) func(*Host) {
	return func(h *Host) { h.Link = func(string) (Link, error) { return link, nil } }
}

func TestInterfaceIsUpWithRoomAndZeroCopy(t *testing.T) {
	for _, c := range []struct {
		link Link
		want State
	}{
		{Link{Up: true, MTU: 1500, Driver: "ice"}, OK},
		{Link{Up: true, MTU: 1500, Driver: "e1000e"}, Differs},
		{Link{Up: true, MTU: 1400, Driver: "ice"}, Differs},
		{Link{MTU: 1500, Driver: "ice"}, Differs},
	} {
		asked := ""
		h := &Host{Link: func(name string) (Link, error) { asked = name; return c.link, nil }}
		if f := lookInterface(h, hot); f.State != c.want || asked != hot.Interface {
			t.Errorf("%+v: %s (%s), want %s; asked for %q", c.link, f.State, f.Current, c.want, asked)
		}
	}
}
