// Package child runs the processes a benchmark measures, and ends each of them by its own pid.
package child

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// How long a child may take to end by itself before it is killed.
const stopPatience = 15 * time.Second

// Child is one running process. What it says goes to a log file.
type Child struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// passedOn is what children see of this process's environment: what dseq passes on to CometBFT. A CMTHOME or CMT_*
// variable would win over the homes and settings of the benchmark.
var passedOn = []string{"PATH", "HOME", "TMPDIR", "TZ", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"}

// Environment is what children see of this process's.
func Environment() []string {
	var env []string
	for _, name := range passedOn {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Start runs command with env added to what children see of this process's environment.
func Start(log string, env []string, command string, args ...string) (*Child, error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, err
	}
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(command, args...)
	cmd.Env = append(Environment(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	// An interrupt from the terminal reaches only the benchmark. However that ends, the kernel ends its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	child := &Child{name: filepath.Base(command), log: log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of the thread that started a child for the end of its parent: this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			child.err = cmd.Wait()
			close(child.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s does not start: %w", command, err)
	}
	return child, nil
}

// Ended is nil while the process runs, and says how it ended and what it said last when it does not.
func (c *Child) Ended() error {
	select {
	case <-c.done:
		return fmt.Errorf("%s ended (%v); the end of %s:\n%s", c.name, c.cmd.ProcessState, c.log, tail(c.log))
	default:
		return nil
	}
}

// Stop asks the process to end, and kills it when it does not.
func (c *Child) Stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(stopPatience):
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-c.done
	return fmt.Errorf("%s did not end within %s of SIGTERM and was killed; see %s", c.name, stopPatience, c.log)
}

// StopAll stops the children together, so that none waits for another.
func StopAll(children []*Child) error {
	for _, c := range children {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
	}
	var all []error
	for _, c := range children {
		all = append(all, c.Stop())
	}
	return errors.Join(all...)
}

// AwaitSocket waits until something accepts connections on the unix socket.
func (c *Child) AwaitSocket(path string, patience time.Duration) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err := c.Ended(); err != nil {
			return err
		}
		if conn, err := net.Dial("unix", path); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("%s does not answer on %s after %s; the end of %s:\n%s", c.name, path, patience, c.log, tail(c.log))
}

func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
