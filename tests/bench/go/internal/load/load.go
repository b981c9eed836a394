// Package load puts a bounded stream of transactions on a running network and reads from its blocks what was decided.
//
// The load is closed: at most Window transactions are submitted and not yet decided, so the mempools never overflow
// and the network runs at the rate it can sustain. Everything is bounded by time and by count, and only loopback
// addresses are taken.
package load

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Requests sent on one connection and not yet answered.
const unansweredMax = 64

// A rate over fewer blocks says more about their size than about the network.
const blocksTimedMin = 8

// How long nothing at all may be decided while transactions are waiting.
const stallPatience = 30 * time.Second

// Options of one run.
type Options struct {
	// URLs of the nodes' RPC, http://127.0.0.1:port.
	URLs []string
	// Connections to each node.
	Connections int
	TxBytes     int
	// Window is how many transactions may be submitted and not yet decided.
	Window int64
	// CountMax ends the run early.
	CountMax int64
	// WarmUp is left out of the rate.
	WarmUp   time.Duration
	Duration time.Duration
}

// Result of one run.
type Result struct {
	// TxsPerSecond decided between the end of the warm-up and the end of submission, by the blocks' own times.
	TxsPerSecond float64 `json:"txs_per_second"`
	Submitted    int64   `json:"submitted"`
	// Refused by a node's answer, for instance because its mempool was full.
	Refused int64 `json:"refused"`
	Decided int64 `json:"decided"`
	Blocks  int   `json:"blocks"`
	// BlocksTimed and TxsTimed are what the rate was computed from.
	BlocksTimed int   `json:"blocks_timed"`
	TxsTimed    int64 `json:"txs_timed"`
}

type run struct {
	Options
	submitted, refused atomic.Int64
	chain              *chain
	stop               chan struct{}
	errs               chan error
}

// Run loads the network and waits until everything submitted is decided.
func Run(o Options) (Result, error) {
	for _, address := range o.URLs {
		if err := loopback(address); err != nil {
			return Result{}, err
		}
	}
	chain, err := follow(o.URLs[0])
	if err != nil {
		return Result{}, err
	}
	defer chain.close()
	r := &run{Options: o, chain: chain, stop: make(chan struct{}), errs: make(chan error, 2*o.Connections*len(o.URLs))}
	begin := time.Now()
	var senders sync.WaitGroup
	for i := range o.Connections * len(o.URLs) {
		senders.Add(1)
		go func() {
			defer senders.Done()
			if err := r.send(o.URLs[i%len(o.URLs)]); err != nil {
				r.errs <- err
			}
		}()
	}
	finished := make(chan struct{})
	go func() { senders.Wait(); close(finished) }()
	end := r.awaitEnd(begin, finished)
	close(r.stop)
	<-finished
	if err := r.drain(); err != nil {
		return Result{}, err
	}
	result := r.result(begin.Add(o.WarmUp), end)
	if result.BlocksTimed < 2 {
		return result, errors.New("fewer than two blocks were decided while the load was measured")
	}
	return result, nil
}

// awaitEnd waits until the duration is over and enough blocks were decided for a rate. A machine that is busy with
// other things makes few and large blocks; it gets three times as long.
func (r *run) awaitEnd(begin time.Time, finished <-chan struct{}) time.Time {
	for {
		select {
		case <-finished:
			return time.Now()
		case <-time.After(pollInterval):
		}
		taken := time.Since(begin)
		if taken >= 3*r.Duration {
			return time.Now()
		}
		if taken < r.Duration {
			continue
		}
		if result := r.result(begin.Add(r.WarmUp), time.Now()); result.BlocksTimed >= blocksTimedMin {
			return time.Now()
		}
	}
}

// drain waits for what was submitted and not refused.
func (r *run) drain() error {
	for {
		select {
		case err := <-r.errs:
			return err
		default:
		}
		wanted := r.submitted.Load() - r.refused.Load()
		if r.chain.decided.Load() >= wanted {
			return nil
		}
		if quiet := r.chain.quiet(); quiet > stallPatience {
			return fmt.Errorf("nothing was decided for %s, and %d of %d transactions are missing: lost, or refused by a check, which broadcast_tx_async does not tell", quiet.Round(time.Second), wanted-r.chain.decided.Load(), wanted)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (r *run) result(from, to time.Time) Result {
	blocks := r.chain.seen()
	result := Result{
		Submitted: r.submitted.Load(),
		Refused:   r.refused.Load(),
		Decided:   r.chain.decided.Load(),
		Blocks:    len(blocks),
	}
	// A block's time is that of the votes for the block before it: blocks a to b-1 were decided between a's and b's.
	var first, last *block
	for i := range blocks {
		b := &blocks[i]
		if b.time.Before(from) || b.time.After(to) {
			continue
		}
		if first == nil {
			first = b
		}
		if last != nil {
			result.TxsTimed += last.txs
			result.BlocksTimed++
		}
		last = b
	}
	if result.BlocksTimed > 0 {
		result.TxsPerSecond = float64(result.TxsTimed) / last.time.Sub(first.time).Seconds()
	}
	return result
}

// send submits transactions on one WebSocket connection until the run stops.
func (r *run) send(address string) error {
	endpoint, err := url.Parse(address)
	if err != nil {
		return err
	}
	endpoint.Scheme, endpoint.Path = "ws", "/websocket"
	conn, _, err := websocket.DefaultDialer.Dial(endpoint.String(), nil)
	if err != nil {
		return fmt.Errorf("%s: %w", endpoint, err)
	}
	defer conn.Close()
	unanswered := make(chan struct{}, unansweredMax)
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		for {
			_, answer, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if bytes.Contains(answer, []byte(`"error"`)) {
				r.refused.Add(1)
			}
			<-unanswered
		}
	}()
	frames := newFrames(r.TxBytes)
	for {
		if !r.admit() {
			break
		}
		select {
		case unanswered <- struct{}{}:
		case <-broken:
			return fmt.Errorf("%s closed the connection", endpoint)
		}
		if err := conn.WriteMessage(websocket.TextMessage, frames.next()); err != nil {
			return fmt.Errorf("%s: %w", endpoint, err)
		}
	}
	// The connection's last answers tell whether they were refused.
	for range unansweredMax {
		select {
		case unanswered <- struct{}{}:
		case <-broken:
			return fmt.Errorf("%s closed the connection before it answered", endpoint)
		case <-time.After(stallPatience):
			return fmt.Errorf("%s does not answer", endpoint)
		}
	}
	return nil
}

// admit waits for room in the window, and says no when the run is over.
func (r *run) admit() bool {
	for {
		select {
		case <-r.stop:
			return false
		default:
		}
		if r.chain.quiet() > stallPatience {
			return false
		}
		number := r.submitted.Add(1)
		if number > r.CountMax {
			r.submitted.Add(-1)
			return false
		}
		if number-r.refused.Load()-r.chain.decided.Load() <= r.Window {
			return true
		}
		r.submitted.Add(-1)
		time.Sleep(2 * time.Millisecond)
	}
}

// frames writes one JSON-RPC request after the other into the same buffer: the load's own cost is the network's loss.
type frames struct {
	tx      []byte
	counter uint64
	buffer  []byte
}

func newFrames(txBytes int) *frames {
	f := &frames{tx: make([]byte, max(txBytes, 24))}
	if _, err := rand.Read(f.tx); err != nil {
		panic(err)
	}
	return f
}

func (f *frames) next() []byte {
	f.counter++
	// 16 random bytes name the connection, the counter names the transaction.
	binary.LittleEndian.PutUint64(f.tx[16:], f.counter)
	f.buffer = append(f.buffer[:0], `{"jsonrpc":"2.0","method":"broadcast_tx_async","id":`...)
	f.buffer = strconv.AppendUint(f.buffer, f.counter, 10)
	f.buffer = append(f.buffer, `,"params":{"tx":"`...)
	f.buffer = base64.StdEncoding.AppendEncode(f.buffer, f.tx)
	return append(f.buffer, `"}}`...)
}

// loopback refuses any address a load must not be put on.
func loopback(address string) error {
	parsed, err := url.Parse(address)
	if err != nil {
		return err
	}
	host := parsed.Hostname()
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not a loopback address; a load is only put on this machine's own network", address)
	}
	return nil
}
