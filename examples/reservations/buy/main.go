// Command buy buys seats, all of those it is given or none.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"lockstep/client"
	"lockstep/transport"
	"lockstep/wire"

	"reservations/seats"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := buy(ctx, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// buy holds the seats, then confirms them. If it fails, or is killed, the holds run out by themselves.
func buy(ctx context.Context, numbers []string) (err error) {
	o, err := cluster()
	if err != nil {
		return err
	}
	o.Name = "buy"
	conn, err := client.Dial(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, verb := range []string{"hold %s 20", "confirm %s"} {
		for _, number := range numbers {
			answer, err := say(ctx, conn, fmt.Sprintf(verb, number))
			if err != nil {
				return err
			}
			fmt.Println(answer)
		}
	}
	return nil
}

// say sends a message and returns the answer to it. A leader may go down meanwhile: the message is applied once.
func say(ctx context.Context, conn *client.Conn, message string) (string, error) {
	r, err := conn.Submit(ctx, seats.Number, wire.LevelApplied, []byte(message))
	if err != nil {
		return "", err
	}
	answer := string(r.Response)
	if strings.HasPrefix(answer, "refused:") {
		return "", errors.New(answer)
	}
	return answer, nil
}

// cluster is where the environment says that the cluster is.
func cluster() (o client.Options, err error) {
	if o.Cluster, err = strconv.ParseUint(os.Getenv("LOCKSTEP_CLUSTER"), 16, 64); err != nil {
		return o, fmt.Errorf("LOCKSTEP_CLUSTER: %w", err)
	}
	for _, text := range strings.Split(os.Getenv("LOCKSTEP_NODES"), ",") {
		addr, err := transport.ParseAddr(text)
		if err != nil {
			return o, fmt.Errorf("LOCKSTEP_NODES: %w", err)
		}
		o.Nodes = append(o.Nodes, addr)
	}
	return o, nil
}
