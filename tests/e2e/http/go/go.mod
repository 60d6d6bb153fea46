module pyrover.test/exchange

go 1.24

require pyrover.test/common v0.0.0

replace pyrover.test/common => ../go_common
