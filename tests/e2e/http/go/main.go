// Go's net/http as a server and as a client of the exchanges in calls.py; the standard library alone.
//
//	exchange server http|h2c|https|h2 LOG [CERTIFICATE KEY]
//	exchange client http1|http2                              calls on standard input, an account on standard output
package main

import (
	"encoding/json"
	"os"
)

// Said is a line of an account (account.py).
type Said struct {
	Method       string `json:"method"`
	Path         string `json:"path"`
	Status       int    `json:"status"`
	RequestBody  int64  `json:"request_body_bytes"`
	ResponseBody int64  `json:"response_body_bytes"`
	Version      int    `json:"version"`
	TLS          bool   `json:"tls"`
}

func tell(file *os.File, said Said) {
	line, err := json.Marshal(said)
	check(err)
	_, err = file.Write(append(line, '\n')) // one call, so that lines of concurrent exchanges stay whole
	check(err)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	if os.Args[1] == "server" {
		serve(os.Args[2], os.Args[3], os.Args[4:])
	} else {
		call(os.Args[2])
	}
}
