package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// How often a node is asked for new blocks.
const pollInterval = 50 * time.Millisecond

var client = &http.Client{Timeout: 30 * time.Second}

type block struct {
	height int64
	txs    int64
	time   time.Time
}

// chain follows the blocks of one node.
type chain struct {
	url     string
	decided atomic.Int64
	// moved is when decided last grew, in Unix nanoseconds.
	moved atomic.Int64

	mutex  sync.Mutex
	blocks []block

	stop chan struct{}
	done chan struct{}
}

// follow counts the transactions of every block after the node's newest.
func follow(url string) (*chain, error) {
	newest, err := newestHeight(url)
	if err != nil {
		return nil, err
	}
	c := &chain{url: url, stop: make(chan struct{}), done: make(chan struct{})}
	c.moved.Store(time.Now().UnixNano())
	go func() {
		defer close(c.done)
		for {
			select {
			case <-c.stop:
				return
			case <-time.After(pollInterval):
			}
			for _, b := range blocksAfter(url, newest) {
				newest = b.height
				c.mutex.Lock()
				c.blocks = append(c.blocks, b)
				c.mutex.Unlock()
				if b.txs > 0 {
					c.moved.Store(time.Now().UnixNano())
					c.decided.Add(b.txs)
				}
			}
		}
	}()
	return c, nil
}

func (c *chain) close() { close(c.stop); <-c.done }

func (c *chain) quiet() time.Duration { return time.Since(time.Unix(0, c.moved.Load())) }

func (c *chain) seen() []block {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.Clone(c.blocks)
}

func newestHeight(url string) (int64, error) {
	var status struct {
		SyncInfo struct {
			LatestBlockHeight string `json:"latest_block_height"`
		} `json:"sync_info"`
	}
	if err := get(url+"/status", &status); err != nil {
		return 0, err
	}
	return strconv.ParseInt(status.SyncInfo.LatestBlockHeight, 10, 64)
}

// blocksAfter returns the blocks after a height, oldest first, at most twenty. None at all is an error to the node
// and nothing to us: the next poll asks again.
func blocksAfter(url string, height int64) []block {
	var answer struct {
		BlockMetas []struct {
			Header struct {
				Height string    `json:"height"`
				Time   time.Time `json:"time"`
			} `json:"header"`
			NumTxs string `json:"num_txs"`
		} `json:"block_metas"`
	}
	query := fmt.Sprintf("%s/blockchain?minHeight=%d&maxHeight=%d", url, height+1, height+20)
	if err := get(query, &answer); err != nil {
		return nil
	}
	var blocks []block
	for i := len(answer.BlockMetas) - 1; i >= 0; i-- {
		meta := answer.BlockMetas[i]
		number, heightErr := strconv.ParseInt(meta.Header.Height, 10, 64)
		txs, txsErr := strconv.ParseInt(meta.NumTxs, 10, 64)
		if heightErr != nil || txsErr != nil {
			return nil
		}
		blocks = append(blocks, block{number, txs, meta.Header.Time})
	}
	return blocks
}

// get asks a node's RPC in its URI form.
func get(url string, result any) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s", url, answer.Error)
	}
	return json.Unmarshal(answer.Result, result)
}
