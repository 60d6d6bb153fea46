// Exchanges over TLS between goroutines, and what they have moved.
//
// Arguments: certificate, key, clients, exchanges of each, bytes of each answer.
// Every other client reaches its connection through a type around it.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

type around struct {
	net.Conn
	unused int
}

type account struct {
	Ports          []int `json:"ports"`
	RequestBytes   int   `json:"request_bytes"`
	ResponseBodies int   `json:"response_bodies"`
}

func number(at int) int {
	value, err := strconv.Atoi(os.Args[at])
	if err != nil {
		panic(err)
	}
	return value
}

func client(address string, name, exchanges int, result *account, lock *sync.Mutex) {
	plain, err := net.Dial("tcp", address)
	if err != nil {
		panic(err)
	}
	port := plain.LocalAddr().(*net.TCPAddr).Port
	if name%2 == 1 {
		plain = &around{plain, 0}
	}
	connection := tls.Client(plain, &tls.Config{InsecureSkipVerify: true})
	reader := bufio.NewReader(connection)
	sent, received := 0, 0
	for exchange := 0; exchange < exchanges; exchange++ {
		request := fmt.Sprintf("GET /client/%d/%d HTTP/1.1\r\nHost: here\r\n\r\n", name, exchange)
		if _, err := io.WriteString(connection, request); err != nil {
			panic(err)
		}
		sent += len(request)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		received += len(body)
	}
	connection.Close()
	lock.Lock()
	defer lock.Unlock()
	result.Ports = append(result.Ports, port)
	result.RequestBytes += sent
	result.ResponseBodies += received
}

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	answer := strings.Repeat("x", number(5))
	server := &http.Server{
		Handler:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answer) }),
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{certificate}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	go server.ServeTLS(listener, "", "")
	var result account
	var lock sync.Mutex
	var group sync.WaitGroup
	for name := 0; name < number(3); name++ {
		group.Add(1)
		go func(name int) {
			defer group.Done()
			client(listener.Addr().String(), name, number(4), &result, &lock)
		}(name)
	}
	group.Wait()
	// A client has an answer before the call that sent it has returned: the program must not end until then.
	if err := server.Shutdown(context.Background()); err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(result)
}
