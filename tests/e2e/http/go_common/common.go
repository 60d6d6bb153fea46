// Package common is what the programs of this folder in Go share: how a server begins and ends, and how both tell.
package common

import (
	"encoding/json"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Check ends the program by what went wrong.
func Check(err error) {
	if err != nil {
		panic(err)
	}
}

// Tell writes a line of an account (account.py).
func Tell(file *os.File, said any) {
	line, err := json.Marshal(said)
	Check(err)
	_, err = file.Write(append(line, '\n')) // one call, so that lines of concurrent exchanges stay whole
	Check(err)
}

// OpenLog opens a server's account.
func OpenLog(name string) *os.File {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	Check(err)
	return file
}

// Listen takes a free port and prints it. From then on the program ends when it is asked to.
func Listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Check(err)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(0)
	}()
	Check(json.NewEncoder(os.Stdout).Encode(map[string]int{"port": listener.Addr().(*net.TCPAddr).Port}))
	return listener
}
