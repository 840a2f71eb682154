package system

import (
	"bytes"
	"encoding/gob"
	"os"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/client"
	"lockstep/service"
	"lockstep/service/kv"
	"lockstep/service/queue"
)

// What the client process does when it sends commands of all services (flowOptions.Mixed).

// mixedTimeMs bounds leases, delays and times to live: longer than a change of leader takes, some of them.
const mixedTimeMs = 3000

// mixedQueues are all the queues that package mixflow names.
var mixedQueues = []string{"queue-a", "queue-b", "queue-c", "queue-d", "queue-e", "queue-f"}

// final is a message that a client sends behind the others.
type final struct {
	to      uint16
	payload []byte
}

// settle asks, when a client is told to stop, what there is in the end: how many messages each queue has, and all keys.
func (r *flowRun) settle() error {
	if r.mix == nil || r.o.Only != 0 {
		return nil
	}
	b := flatbuffers.NewBuilder(256)
	list := []final{{service.KV, bytes.Clone(kv.EncodeRequest(b, &kv.Request{Command: kv.Range}))}}
	for _, name := range mixedQueues {
		list = append(list, final{service.Queue,
			bytes.Clone(queue.EncodeRequest(b, &queue.Request{Kind: queue.Stats, Queue: []byte(name)}))})
	}
	r.next = nil
	for reportNs := int64(0); len(list) > 0; {
		nowNs := r.clock.NowNs()
		if r.next == nil {
			r.to, r.next = list[0].to, list[0].payload
		}
		sent, err := r.sendOne(nowNs)
		if err != nil {
			return err
		}
		if sent {
			list = list[1:]
		}
		if err := r.poll(nowNs, &reportNs); err != nil {
			return err
		}
	}
	return nil
}

// onMixed takes a response.
func (r *flowRun) onMixed(x *client.Response) {
	nowNs := r.clock.NowNs()
	r.view.Hear(nowNs, x.Service, x.Correlation, x.Position, x.Payload)
	to, request := service.None, []byte(nil)
	if x.Correlation > 0 {
		to, request = r.view.Sent[x.Correlation-1].Service, r.view.Sent[x.Correlation-1].Request
	}
	r.mix.Heard(x.Service, x.Payload, to, request)
}

// writeView leaves for the test what this client saw.
func (r *flowRun) writeView() error {
	if r.mix == nil {
		return nil
	}
	r.view.Session, r.view.Client, r.view.EndNs = r.client.Session(), int(r.o.Mixed), r.clock.NowNs()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&r.view); err != nil {
		return err
	}
	return os.WriteFile(r.o.View, b.Bytes(), 0o600)
}
