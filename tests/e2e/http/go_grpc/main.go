// grpc-go as a server and as a client of the calls in servers/echo.py, over Go's own TLS.
//
//	echo server LOG [CERTIFICATE KEY]
//	echo client                          calls on standard input (clients/messages.py), an account on standard output
package main

import (
	"os"
	"strconv"
	"strings"

	"pyrover.test/common"
)

const (
	service     = "/pyrover.test.Echo/"
	messageHead = 5 // bytes before each message: whether it is compressed, and its length
	unlimited   = 1 << 30
)

// Said is a line of an account (account.py).
type Said struct {
	Method       string `json:"method"`
	Path         string `json:"path"`
	Status       int    `json:"status"`
	RequestBody  int    `json:"request_body_bytes"`
	ResponseBody int    `json:"response_body_bytes"`
	Version      int    `json:"version"`
	TLS          bool   `json:"tls"`
	GRPCStatus   int    `json:"grpc_status"`
}

func tell(file *os.File, path string, requestBody, responseBody, status int, isSecure bool) {
	common.Tell(file, Said{"POST", path, 200, requestBody, responseBody, 2, isSecure, status})
}

// raw takes messages as they are.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (raw) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte{}, data...) // the data are used again
	return nil
}

func (raw) Name() string { return "proto" }

// method says what a method's name says: its kind, and the status that it is answered with.
func method(path string) (kind string, status int) {
	parts := strings.Split(strings.TrimPrefix(path, service), ".")
	status, err := strconv.Atoi(parts[1])
	common.Check(err)
	return parts[0], status
}

func main() {
	if os.Args[1] == "server" {
		serve(os.Args[2], os.Args[3:])
	} else {
		call()
	}
}
