console.log('kache');
