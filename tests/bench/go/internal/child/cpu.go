package child

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The kernel's unit in /proc/PID/stat; 100 on every Linux architecture that Go runs on.
const ticksPerSecond = 100

// OwnCPUSeconds is the processor time this process has spent so far.
func OwnCPUSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// CPUSeconds is the processor time the process has spent so far. Where there is no /proc it is 0.
func (c *Child) CPUSeconds() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name, the second field, may hold spaces: what follows its parenthesis starts at the third field.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	ticks := 0.0
	for _, field := range fields[11:13] {
		value, _ := strconv.ParseFloat(field, 64)
		ticks += value
	}
	return ticks / ticksPerSecond
}
